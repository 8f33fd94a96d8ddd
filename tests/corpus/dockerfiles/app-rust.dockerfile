FROM rust:1.79 AS builder
WORKDIR /usr/src/app
COPY Cargo.toml Cargo.lock ./
COPY src src
RUN cargo install --locked --path . && strip /usr/local/cargo/bin/app
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=builder /usr/local/cargo/bin/app /usr/local/bin/app
CMD ["app"]
