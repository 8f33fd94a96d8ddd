FROM --platform=${TARGETPLATFORM} scratch
ENV A=1
