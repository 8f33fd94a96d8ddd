# A file that is read after the one with the tuning, as a package may bring it.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN echo net.core.somaxconn=64 >/etc/sysctl.d/99-vendor.conf
