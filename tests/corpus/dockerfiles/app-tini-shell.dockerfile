FROM scratch
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD serve | tee /var/log/serve.log
