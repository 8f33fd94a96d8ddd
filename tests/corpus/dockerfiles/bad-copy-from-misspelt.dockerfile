FROM scratch AS build
COPY a /a
FROM scratch
COPY --from=biuld /a /a
