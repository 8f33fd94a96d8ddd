# SSH is off.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN systemctl mask ssh.service ssh.socket
