# The user's password is another one than the profile's.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN echo admin:other | chpasswd
