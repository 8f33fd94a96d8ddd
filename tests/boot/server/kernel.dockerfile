# The packages of one's own kernel.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
COPY *.deb /var/tmp/kernel/
