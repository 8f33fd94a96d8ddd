FROM scratch
COPY --from=nginx:1.27 /etc/nginx/nginx.conf /nginx.conf
