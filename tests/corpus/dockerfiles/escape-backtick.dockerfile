# escape=`
FROM scratch
ENV A=C:\dir B=two` words
ENV C=jo`
ined
WORKDIR /x
