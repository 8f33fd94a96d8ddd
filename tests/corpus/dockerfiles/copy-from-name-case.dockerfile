FROM scratch AS Build
COPY a /a
FROM scratch
COPY --from=BUILD /a /b
