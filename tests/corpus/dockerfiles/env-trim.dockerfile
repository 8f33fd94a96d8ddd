FROM scratch
ENV P=/usr/lib/x.tar.gz
ENV A=${P#*/} B=${P##*/} C=${P%.*} D=${P%%.*} E=${P/tar/zip} F=${P//r/R} G=${P#nothing}
