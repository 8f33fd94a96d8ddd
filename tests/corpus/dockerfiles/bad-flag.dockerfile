FROM scratch
COPY --form=x a /a
