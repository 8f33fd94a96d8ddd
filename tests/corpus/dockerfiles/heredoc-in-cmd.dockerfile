FROM scratch
CMD cat <<EOF
