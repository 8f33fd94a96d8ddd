FROM scratch
ENV A=x E=
ENV B=${A:-d} C=${N:-d} D=${E:-d} F=${E-d} G=${A:+y} H=${N:+y} I=${E+y} J=${N:-${A}} K=${N:-"q q"} L="${N:-in quotes}"
