FROM scratch
ENV A="open
