FROM scratch AS x
ENV A=1
FROM scratch AS x
ENV A=2
FROM x
ENV B=$A
