FROM scratch
LABEL org.opencontainers.image.title="A title" version=1.0 \
      description="It's \
a long one"
LABEL old form here
MAINTAINER Somebody <nobody@example.org>
