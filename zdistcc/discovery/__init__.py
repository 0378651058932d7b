"""Who is there: announcements of workers, heard and made.  The only home of zeroconf and netifaces."""
