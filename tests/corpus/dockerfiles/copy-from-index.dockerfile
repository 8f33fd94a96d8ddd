FROM scratch
COPY a /a
FROM scratch
COPY --from=0 /a /b
