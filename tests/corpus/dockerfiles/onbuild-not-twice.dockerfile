FROM scratch AS base
ONBUILD ENV N=1
FROM base AS middle
ENV M=1
FROM middle
ENV L=1
