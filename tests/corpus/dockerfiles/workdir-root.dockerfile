FROM scratch
WORKDIR /../x//y/./z
