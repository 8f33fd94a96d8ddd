FROM scratch
COPY --chown=12:34 --chmod=640 a /a
ADD --chown=12 a /b
