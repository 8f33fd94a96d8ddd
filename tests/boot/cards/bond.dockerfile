# Two network cards as one bond, which keeps the address while either of them has a link.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
COPY etc /etc
