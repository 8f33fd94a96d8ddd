FROM scratch AS 1st
ENV A=1
