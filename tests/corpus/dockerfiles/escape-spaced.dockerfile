#   EsCaPe  =  `  
FROM scratch
ENV A=\x
