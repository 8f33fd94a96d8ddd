FROM scratch
COPY [ab] /x/
COPY a[0-9].md /y/
