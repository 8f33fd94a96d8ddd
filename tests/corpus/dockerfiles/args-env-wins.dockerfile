FROM scratch
ENV A=env
ARG A=arg
ENV V=$A
