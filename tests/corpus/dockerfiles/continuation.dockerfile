FROM scratch
ENV A=1 \
    B=2 \
# a comment inside
    C=3 \

    D=4
