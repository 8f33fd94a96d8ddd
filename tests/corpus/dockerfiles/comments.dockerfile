# a comment
   # indented
FROM scratch
ENV A=1 B=#2
#ENV B=2
ENV C=3
