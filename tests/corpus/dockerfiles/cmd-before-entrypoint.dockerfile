FROM scratch
CMD ["args"]
ENTRYPOINT ["program"]
