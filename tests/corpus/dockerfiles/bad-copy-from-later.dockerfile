FROM scratch AS one
COPY --from=two /a /a
FROM scratch AS two
COPY a /a
FROM one
