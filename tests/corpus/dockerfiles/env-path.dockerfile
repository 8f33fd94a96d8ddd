FROM scratch
ENV PATH=/opt/bin:$PATH
