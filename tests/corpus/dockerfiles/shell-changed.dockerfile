FROM scratch
SHELL ["/bin/bash", "-ec"]
CMD one
SHELL ["/bin/sh", "-c"]
ENTRYPOINT two
