# Temperature logger: reads a sensor of the board every few seconds and logs it; an ordinary application dockerfile.
# supports: debian:12 debian:13 ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# Seconds between two readings.
ARG METALLIZE_TEMPLOGGER_SECONDS=5
ENV TEMPLOGGER_SECONDS=${METALLIZE_TEMPLOGGER_SECONDS} \
    TEMPLOGGER_SENSORS=/sys/class/thermal
RUN useradd --system --no-create-home --shell /usr/sbin/nologin templogger
WORKDIR /opt/templogger
RUN printf '%s\n' \
      '#!/bin/sh' \
      '# Log what each sensor reads, in degrees Celsius.' \
      'set -eu' \
      'while true; do' \
      '  found=no' \
      '  for file in "$TEMPLOGGER_SENSORS"/thermal_zone*/temp; do' \
      '    [ -r "$file" ] || continue' \
      '    read -r value <"$file" || continue' \
      '    zone=${file%/temp}' \
      '    printf "%s %d.%03d C\n" "${zone##*/}" "$((value / 1000))" "$((value % 1000))"' \
      '    found=yes' \
      '  done' \
      '  [ "$found" = yes ] || echo "no sensor in $TEMPLOGGER_SENSORS"' \
      '  sleep "$TEMPLOGGER_SECONDS"' \
      'done' >templogger \
 && chmod 755 templogger
USER templogger
CMD ["./templogger"]
