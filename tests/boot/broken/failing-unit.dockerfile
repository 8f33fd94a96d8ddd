# A service that fails at boot.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN printf '%s\n' '[Unit]' 'Description=Sour milk' '[Service]' 'Type=oneshot' \
      "ExecStart=/bin/sh -c 'echo the milk is sour >&2; exit 7'" '[Install]' 'WantedBy=multi-user.target' \
      >/etc/systemd/system/milk.service \
 && systemctl enable milk.service
