FROM scratch
ARG A=1 B="two words" C
ENV V=$A-$B-$C
