FROM scratch
CMD exec serve --port "$PORT" && echo 'done'
