FROM scratch
CMD ['shop', '--all']
