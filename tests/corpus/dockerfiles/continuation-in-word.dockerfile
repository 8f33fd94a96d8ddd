FROM scratch
ENV LONG=ab\
cd
