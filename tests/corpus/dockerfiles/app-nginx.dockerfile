FROM nginx:1.27-alpine
COPY ["default.conf", "/etc/nginx/conf.d/default.conf"]
COPY html/ /usr/share/nginx/html/
STOPSIGNAL SIGQUIT
