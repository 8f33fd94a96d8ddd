FROM scratch
ENV A=1 # no comment here
