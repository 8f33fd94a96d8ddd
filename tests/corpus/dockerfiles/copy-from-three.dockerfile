FROM scratch AS one
COPY a /a
FROM scratch AS two
COPY --from=one /a /b
FROM scratch
COPY --from=two /b /c
COPY --from=one /a /d
