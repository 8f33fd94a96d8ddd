FROM debian:trixie AS base
RUN --mount=from=base,target=/x true
