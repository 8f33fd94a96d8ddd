# escape=x
FROM scratch
ENV A=1
