FROM scratch
ENV A=1
ENV B=$A C=${A} D=\$A E='$A' F="$A" G="\$A" H=$A$A I=${A}b J=$ K=$1 L=a$
