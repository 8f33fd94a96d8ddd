# just a comment
# escape=`
FROM scratch
ENV A=1 \
    B=2
