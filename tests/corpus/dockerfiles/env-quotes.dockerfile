FROM scratch
ENV A="a b" B='c d' C=e\ f D="g \"h\" i" E='j"k' F="l'm" G=n"o p"q H=
