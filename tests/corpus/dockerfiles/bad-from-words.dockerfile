FROM scratch as x y
ENV A=1
