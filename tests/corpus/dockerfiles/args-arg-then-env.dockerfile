FROM scratch
ARG A=arg
ENV A=env
ENV V=$A
