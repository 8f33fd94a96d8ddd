FROM scratch
ENTRYPOINT [ \
  "one", \
  # two is gone
  "three" \
]
