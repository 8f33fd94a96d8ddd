FROM scratch
ENV A=one \  
    B=two \	
    C=three
