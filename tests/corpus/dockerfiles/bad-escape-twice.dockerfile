# escape=`
# escape=\
FROM scratch
ENV A=1
