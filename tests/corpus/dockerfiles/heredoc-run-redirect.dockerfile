FROM debian:trixie
RUN cat <<EOF >/etc/one && cat <<'EOT' >/etc/two
one
EOF
$two
EOT
