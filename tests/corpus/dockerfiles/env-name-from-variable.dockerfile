FROM scratch
ARG KEY=NAME
ENV $KEY=value X_${KEY}=other
